"""``python -m bertstudy``: the same as the ``bertstudy`` command."""

from bertstudy.cli import main

if __name__ == "__main__":
    main()
