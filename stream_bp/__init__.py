"""stream-bp: a neural network learned from a stream of rows, one minibatch at a time."""

__version__ = "0.1.0"
