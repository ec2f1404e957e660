"""Model of the Dataverse Web API (Dynamics 365 Sales): no sockets in here."""
