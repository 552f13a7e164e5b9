"""What a model is: frozen data and pure functions over it. Nothing in this folder imports torch."""
