"""The Dagster side: definitions, partitions, resources, jobs, schedules, sensors."""
