"""The smallest useful worker: reads one task at a time and records its result.

The README shows its loop. It does not renew leases; worker.py does.
"""

import os

import grpc
from argus.v1 import job_status_pb2, task_queue_pb2, task_queue_pb2_grpc

addr = os.environ.get("ARGUS_ADDR", "localhost:7233")


def scan(task):
    """Stands for the real work."""
    return {"worked_in": "python", "scanned": ",".join(task.scanners)}


queue = task_queue_pb2_grpc.TaskQueueStub(grpc.insecure_channel(addr))
while True:
    for delivery in queue.Read(task_queue_pb2.ReadRequest(consumer="python-1")).deliveries:
        queue.Complete(task_queue_pb2.CompleteRequest(
            lease_token=delivery.lease_token,
            status=job_status_pb2.JOB_STATUS_COMPLETED,
            fields=scan(delivery.task)))
