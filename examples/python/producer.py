"""Publishes scan tasks and prints the ids of their jobs, one a line."""

import argparse
import sys
import time
import uuid

import grpc
from argus.v1 import task_pb2, task_queue_pb2, task_queue_pb2_grpc


def publish(queue, task, give_up=30):
    """Publishes a task exactly once: the request_id makes repeating it safe."""
    request = task_queue_pb2.PublishRequest(
        task=task,
        request_id=str(uuid.uuid4()),
        initial_state=task_queue_pb2.InitialState(fields={"made_in": "python"}),
    )
    deadline = time.monotonic() + give_up
    while True:
        try:
            return queue.Publish(request, timeout=10)
        except grpc.RpcError as error:
            passing = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            if not passing or time.monotonic() > deadline:
                raise
            time.sleep(0.25)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="localhost:7233")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--scanner", action="append", default=[])
    args = parser.parse_args()
    with grpc.insecure_channel(args.addr) as channel:
        queue = task_queue_pb2_grpc.TaskQueueStub(channel)
        for _ in range(args.jobs):
            task = task_pb2.Task(scanners=args.scanner or ["trivy"], attributes={"source": "producer.py"})
            print(publish(queue, task).job_id, flush=True)


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"producer: {error.details()} ({error.code().name})")
