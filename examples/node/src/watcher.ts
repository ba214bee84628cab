// Watches jobs until each has its result, and prints the results as JSON, one per line.
// Arguments: the job ids; without arguments they are read from the standard input, one per line.
import { createInterface } from "node:readline";
import { status, type ServiceError } from "@grpc/grpc-js";
import { completion, type CompletionEvent, type WatchResponse } from "./argus.js";

const client = completion();

/** One watch over one connection. It calls seen with every cursor. */
function follow(jobId: string, afterCursor: string, seen: (cursor: string) => void): Promise<CompletionEvent | undefined> {
  return new Promise((resolve, reject) => {
    let result: CompletionEvent | undefined;
    const stream = client.Watch({ jobId, afterCursor });
    stream.on("data", (frame: WatchResponse) => {
      seen(frame.cursor);
      if (frame.event?.terminal) result = frame.event;
    });
    stream.on("error", (error: ServiceError) => (result ? resolve(result) : reject(error)));
    stream.on("end", () => resolve(result));
  });
}

/** Watches a job until its result. After a broken connection it resumes from the last cursor. */
async function watch(jobId: string): Promise<CompletionEvent> {
  let cursor = "";
  for (;;) {
    try {
      const event = await follow(jobId, cursor, (c) => (cursor = c));
      if (event) return event;
    } catch (error) {
      const { code } = error as ServiceError;
      if (code !== status.UNAVAILABLE && code !== status.RESOURCE_EXHAUSTED) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function jobs(): Promise<string[]> {
  if (process.argv.length > 2) return process.argv.slice(2);
  const lines: string[] = [];
  for await (const line of createInterface({ input: process.stdin })) if (line) lines.push(line);
  return lines;
}

try {
  await Promise.all(
    (await jobs()).map(async (job) => {
      const { jobId, statusText, fields } = await watch(job);
      console.log(JSON.stringify({ jobId, status: statusText, fields }));
    }),
  );
} catch (error) {
  console.error(`watcher: ${(error as ServiceError).details}`);
  process.exitCode = 1;
} finally {
  client.close();
}
