"""Which class is in the image: the task that the paper's sections 4.1 and 4.2 are about."""
