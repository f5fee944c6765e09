"""An executable book about BERT's self-attention."""
