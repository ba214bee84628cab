"""Processes scan tasks until SIGTERM or ^C; then finishes the tasks it holds."""

import argparse
import os
import signal
import socket
import sys
import threading
import time

import grpc
from argus.v1 import job_status_pb2, task_queue_pb2, task_queue_pb2_grpc
from google.protobuf import duration_pb2

PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

# The number of attempts to record a result while the server is unavailable. After that,
# another worker gets the task.
MAX_TRIES = 240


class LeaseLost(Exception):
    """The task went to another worker: stop, and write nothing more."""


class Cancelled(Exception):
    """The job was cancelled: stop, and report that."""


class Heartbeat(threading.Thread):
    """Renews a lease while the work is going on."""

    def __init__(self, queue, token, every):
        super().__init__(daemon=True)
        self.queue, self.token, self.every = queue, token, every
        self.over, self.stop = threading.Event(), threading.Event()
        self.reason = None  # why to stop

    def run(self):
        while not self.over.wait(self.every):
            try:
                reply = self.queue.ExtendLease(task_queue_pb2.ExtendLeaseRequest(lease_token=self.token), timeout=5)
                if reply.cancel_requested:
                    self.reason = Cancelled
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    self.reason = LeaseLost
            if self.reason:
                self.stop.set()
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def scan(task, heartbeat, seconds):
    """Stands for the real work; checks the lease between its steps."""
    for _ in task.scanners:
        if heartbeat.stop.wait(seconds):
            raise heartbeat.reason
    return {"worked_in": "python", "scanned": ",".join(task.scanners)}


def complete(queue, token, status, fields=None):
    """Records the result. Repeating it is safe: the same token records one result."""
    request = task_queue_pb2.CompleteRequest(lease_token=token, status=status, fields=fields)
    for tries in range(1, MAX_TRIES + 1):
        try:
            return queue.Complete(request, timeout=10)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                raise LeaseLost from error
            if error.code() not in PASSING or tries == MAX_TRIES:
                raise
            time.sleep(0.25)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="localhost:7233")
    parser.add_argument("--consumer", default=f"python-{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--seconds", type=float, default=0.2, help="duration of a scanner")
    args = parser.parse_args()

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    done = lost = 0
    with grpc.insecure_channel(args.addr) as channel:
        queue = task_queue_pb2_grpc.TaskQueueStub(channel)
        while not stopping.is_set():
            try:
                # A short wait: signals are checked between two Reads.
                reply = queue.Read(task_queue_pb2.ReadRequest(
                    consumer=args.consumer, max_tasks=1, wait=duration_pb2.Duration(seconds=1)), timeout=10)
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise
                stopping.wait(0.25)
                continue
            for delivery in reply.deliveries:
                left = delivery.lease_expire_time.ToMilliseconds() / 1000 - time.time()
                try:
                    try:
                        with Heartbeat(queue, delivery.lease_token, min(max(left / 3, 0.05), 15)) as heartbeat:
                            fields = scan(delivery.task, heartbeat, args.seconds)
                        complete(queue, delivery.lease_token, job_status_pb2.JOB_STATUS_COMPLETED, fields)
                    except Cancelled:
                        complete(queue, delivery.lease_token, job_status_pb2.JOB_STATUS_CANCELLED)
                    done += 1
                except LeaseLost:
                    lost += 1
    print(f"worker.py: {done} completed, {lost} lost", flush=True)


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"worker: {error.details()} ({error.code().name})")
