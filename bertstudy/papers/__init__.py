"""One module a paper: its own words, its own equations."""
