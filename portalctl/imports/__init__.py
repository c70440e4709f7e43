"""What `portalctl import` needs besides the service: who signs in, and what a file held before."""
