"""`portalctl doctor`: what is wrong with a project, and what to do about each thing."""
