"""What a network costs and does, as functions of a `keras.Model`."""
