// The services, loaded from the contract as it is: nothing is generated.
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const root = fileURLToPath(new URL("../../../proto", import.meta.url));
const files = ["task_queue", "job_state", "completion"].map((name) => `argus/v1/${name}.proto`);
const definition = loadSync(files, { includeDirs: [root], keepCase: false, longs: String, enums: String, oneofs: true });
const argus = (loadPackageDefinition(definition) as any).argus.v1 as Record<string, ServiceClientConstructor>;

export const addr = process.env.ARGUS_ADDR ?? "localhost:7233";

export interface CompletionEvent {
  jobId: string;
  cursor: string;
  statusText: string;
  terminal: boolean;
  fields: Record<string, string>;
}

/** One frame of a watch; `frame` names the member that is set. */
export interface WatchResponse {
  cursor: string;
  frame: "snapshot" | "event" | "heartbeat";
  event?: CompletionEvent;
}

export const taskQueue = () => new argus.TaskQueue(addr, credentials.createInsecure());
export const completion = () => new argus.Completion(addr, credentials.createInsecure());
