"""What `ratchet demo` replays: a year of real flights, which must tell its story without ever looking ahead."""
