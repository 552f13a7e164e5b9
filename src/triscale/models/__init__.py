"""Networks as modules: blocks, the assembler, and weights in and out."""
