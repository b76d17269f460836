"""What people do by hand instead of a posterior: what a law has to beat."""
