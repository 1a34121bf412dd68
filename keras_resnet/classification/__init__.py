"""Provides image classification, the task of sections 4.1 and 4.2 of He et al. 2015."""
