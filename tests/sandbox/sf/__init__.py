"""What makes tests/sandbox/salesforce a Salesforce organisation behind its REST API."""
