import { Exit } from '../exit.ts';
import { bytesOf } from '../lua.ts';
import type { Plugin } from './plugin.ts';

const MESSAGES: { [status: number]: string } = {
  401: 'Unauthorized',
  404: 'Not found',
  405: 'Method not allowed',
  500: 'An unexpected error occurred',
  502: 'Bad Gateway',
  503: 'Service unavailable',
};

/** kong/plugins/request-termination/handler.lua with `message` or `body`. */
export const requestTermination: Plugin = {
  name: 'request-termination',
  priority: 2,
  access(_, config) {
    const { status_code: status, message, body, content_type: type } = config;
    const code = typeof status === 'number' ? status : 503;
    if (typeof body === 'string') {
      const headers = new Map(typeof type === 'string' ? [['Content-Type', type]] : []);
      throw new Exit(code, bytesOf(body), headers);
    }
    const text = typeof message === 'string' ? bytesOf(message) : MESSAGES[code];
    throw new Exit(code, text === undefined ? undefined : new Map([['message', text]]));
  },
};
