"""How fast crm_service is."""
