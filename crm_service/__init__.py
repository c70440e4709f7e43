"""The staff side of Portal Sync: a thin HTTP service in front of the database.

Layers, top to bottom: ``asgi`` → ``app`` → slices (``customers``, ``jobs`` …) →
``dependencies`` → ``auth``, ``database`` → ``errors``, ``settings``. Slices never import each
other. Rules live in the database; every request runs there as the staff member who sent it.
"""
