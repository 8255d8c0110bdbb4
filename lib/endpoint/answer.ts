import type { OutgoingHttpHeaders } from 'node:http';

/** What a request to the endpoint gets. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body: string;
}

/** A request as the handlers see it. */
export interface HttpRequest {
  /** GET for HEAD too. */
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: { readonly [name: string]: string | undefined };
  /** The fields of a form; rejects what is too long or no form. */
  form(): Promise<URLSearchParams>;
}

/** Answers requests of one part of the endpoint; `undefined` = there is nothing at that path. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpAnswer | undefined>;

export const plain = (status: number, body: string, headers?: OutgoingHttpHeaders): HttpAnswer => ({
  status,
  headers: { 'Content-Type': 'text/plain; charset=utf-8', ...headers },
  body: `${body}\n`,
});

export const json = (status: number, body: object): HttpAnswer => ({
  status,
  headers: { 'Content-Type': 'application/json; charset=utf-8' },
  body: `${JSON.stringify(body)}\n`,
});

/** The request is at fault; the message goes to the client. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
