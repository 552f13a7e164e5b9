"""Modules that somebody else wrote: named on a command line, counted, scaled, trained and exported without a Network."""
