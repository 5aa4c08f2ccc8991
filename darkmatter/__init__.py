"""Decompose the error of sparse autoencoders into a linear and a nonlinear part of the activation."""
