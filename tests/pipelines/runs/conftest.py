from tests.pipelines.automation.conftest import bench, instance, shared_instance

__all__ = ["bench", "instance", "shared_instance"]
