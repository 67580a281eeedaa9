export {
  guardMcpClient,
  type McpClientOptions,
  type McpClientToolSpec,
  type McpTools,
} from './client.js';
export { guardMcpServer, type McpServerOptions } from './server.js';
export type { McpToolSpec } from './tool-spec.js';
