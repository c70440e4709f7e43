"""`portalctl demo --web`: staff and two customers side by side on one page."""
