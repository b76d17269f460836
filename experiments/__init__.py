"""Trainers that produced the sweeps shipped with hyperlaw. Not part of the installed package."""
