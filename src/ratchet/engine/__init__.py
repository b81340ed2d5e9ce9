"""What carries work out: durable jobs, the child processes that run user code, and the processes around them."""
