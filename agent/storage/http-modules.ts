// Node's HTTP without its fetch: `import 'node:http'` reads every export of that module, and one of them (WebSocket)
// loads all of undici, 10 MB and 30 ms that a mover has no use for (Node 22 to 24).

export const httpModule = process.getBuiltinModule('node:http')
export const httpsModule = process.getBuiltinModule('node:https')
