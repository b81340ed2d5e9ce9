"""What measurements stand on: processes and their cost, environments of peers, servers, the page that is written."""
