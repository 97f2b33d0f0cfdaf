// Never run, only type-checked: if the document says something else than the API does for
// these calls, or nothing in particular, the compiler refuses.

import createClient from "openapi-fetch";
import type { components, paths } from "./generated/schema.js";

type MessageRead = components["schemas"]["MessageRead"];

const client = createClient<paths>({ baseUrl: "http://localhost:8000" });

export async function say(app_id: string, thread_id: string, content: string): Promise<number> {
  const { data, error } = await client.POST("/apps/{app_id}/threads/{thread_id}/messages", {
    params: { path: { app_id, thread_id } },
    body: { content },
  });
  if (error !== undefined) throw new Error(JSON.stringify(error));
  return data.seq;
}

export async function read(app_id: string, thread_id: string): Promise<MessageRead[]> {
  const { data } = await client.GET("/apps/{app_id}/threads/{thread_id}/messages", {
    params: { path: { app_id, thread_id }, query: { limit: 20 } },
  });
  return data ?? [];
}

// Were the types `any`, all of the above would pass, and this would not.
// @ts-expect-error: a message's place in its thread is a number
export const misread = (message: MessageRead): string => message.seq;

// @ts-expect-error: there is no such path
export const misled = () => client.GET("/apps/{app_id}/nowhere");
