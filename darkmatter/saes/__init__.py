"""Sparse autoencoders: trained or published, opened behind one face, their codes and reconstructions."""
