"""The faces that a browser and other systems see: pages drawn on the server, and a REST interface."""
