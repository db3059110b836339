"""Room 2: tokenizers, and documents as shards of token ids."""
