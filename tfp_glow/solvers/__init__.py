"""Log-determinants by estimates, fixed points and roots."""
