"""Appendix C.2: is the probe of a reconstruction's norm the sum of its latents (Fig. 14)?"""
