"""Coupling laws, and the masks that tell what a coupling transforms."""
