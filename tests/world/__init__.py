"""Whole networks in virtual time: the shipping cores and the shipping routing, from one seed."""
