"""Weights in from other projects' files, and out into theirs.

fetching   the files of a source, proved and copied
reading    files of weights to named tensors and a configuration
numbers    the formats themselves: safetensors, GGUF, npz
packed     GGUF's header, read within bounds, and its tensors
options    JSON beside them
taking     a network of ours, with rows for control tokens
words      the tokenizer that came along
exporting  a folder that transformers loads
"""
