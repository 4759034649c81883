"""From planned runs to records: jobs, the workers that train, and the runner."""
