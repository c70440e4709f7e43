// The official JavaScript clients, driven line by line from outside: one JSON request per line on
// standard input, one JSON answer per line on standard output. client_python.py answers the same
// requests with the Python clients.
import { createInterface } from 'node:readline'
import { AuthClient } from '@supabase/auth-js'
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

const actors = new Map() // name → { client, rooms }
const authClients = new Map() // name → { client, events }

const withoutReferences = (items) => items.map(({ presence_ref, ...rest }) => rest)

function listen(channel, wanted, tell) {
  if (wanted.kind === 'broadcast') {
    channel.on('broadcast', { event: wanted.event }, ({ event, payload }) =>
      tell({ kind: 'broadcast', event, payload })
    )
  } else if (wanted.kind === 'presence') {
    channel.on('presence', { event: 'sync' }, () => tell({ kind: 'sync' }))
    channel.on('presence', { event: 'join' }, ({ key, newPresences }) =>
      tell({ kind: 'join', key, new: withoutReferences(newPresences) })
    )
    channel.on('presence', { event: 'leave' }, ({ key, leftPresences }) =>
      tell({ kind: 'leave', key, gone: withoutReferences(leftPresences) })
    )
  } else if (wanted.kind === 'changes') {
    const { event, table, filter } = wanted
    channel.on('postgres_changes', { event, schema: 'public', table, filter }, (got) =>
      tell({ kind: 'change', type: got.eventType, table: got.table, new: got.new, old: got.old })
    )
  } else if (wanted.kind === 'system') {
    channel.on('system', {}, ({ message, status }) => tell({ kind: 'system', message, status }))
  }
}

async function called(target, { method, args = [] }) {
  const path = method.split('.')
  const owner = path.slice(0, -1).reduce((object, name) => object[name], target)
  const got = await owner[path.at(-1)](...args)
  if (got.error) {
    const { message, code, status, reasons } = got.error
    return { error: { message, code, status, reasons } }
  }
  return { data: got.data }
}

const roomOf = ({ client, room }) => actors.get(client).rooms.get(room)
const authOf = ({ client }) => (authClients.get(client) ?? { client: actors.get(client).client.auth }).client

function accepted(outcome) {
  if (outcome !== 'ok') throw new Error(`the client answered ${outcome}`)
  return null
}

const operations = {
  client({ client: name, url, key }) {
    const client = createClient(url, key, {
      auth: { autoRefreshToken: false, persistSession: true, storageKey: name, storage: memory() },
      realtime: { transport: WebSocket },
    })
    actors.set(name, { client, rooms: new Map() })
    return null
  },
  auth_client({ client: name, url, key }) {
    const client = new AuthClient({
      url: `${url}/auth/v1`,
      headers: { apikey: key, Authorization: `Bearer ${key}` },
      autoRefreshToken: false,
      storageKey: name,
      storage: memory(),
    })
    const events = []
    client.onAuthStateChange((event) => events.push(event))
    authClients.set(name, { client, events })
    return null
  },
  auth: (request) => called(authOf(request), request),
  admin: (request) => called(authOf(request).admin, request),
  auth_events: ({ client }) => authClients.get(client).events,
  async query({ client, chain }) {
    let query = actors.get(client).client
    for (const [method, ...args] of chain) query = query[method](...args)
    const { data, error, count } = await query
    if (error) {
      const { code, message, details, hint } = error
      return { error: { code, message, details, hint } }
    }
    return { data, count }
  },
  open({ client, room: name, topic, config = {}, listen: wanted = [] }) {
    const actor = actors.get(client)
    const channel = actor.client.channel(topic, { config })
    const heard = []
    for (const one of wanted) listen(channel, one, (said) => heard.push(said))
    actor.rooms.set(name, { channel, heard })
    return new Promise((resolve) => {
      channel.subscribe((state, error) => {
        const said = { kind: 'state', state, ...(error ? { error: String(error.message) } : {}) }
        heard.push(said)
        resolve(said)
      })
    })
  },
  heard: (request) => roomOf(request).heard,
  forget: (request) => void roomOf(request).heard.splice(0),
  send: async (request) => {
    const { event, payload } = request
    return accepted(await roomOf(request).channel.send({ type: 'broadcast', event, payload }))
  },
  http_send: async (request) => {
    const got = await roomOf(request).channel.httpSend(request.event, request.payload)
    if (!got.success) throw new Error(`${got.status} ${got.error}`)
    return null
  },
  track: async (request) => accepted(await roomOf(request).channel.track(request.payload)),
  untrack: async (request) => accepted(await roomOf(request).channel.untrack()),
  presence(request) {
    const state = roomOf(request).channel.presenceState()
    return Object.fromEntries(
      Object.entries(state).map(([key, items]) => [key, withoutReferences(items)])
    )
  },
  set_auth: async ({ client, token }) => {
    await actors.get(client).client.realtime.setAuth(token)
    return null
  },
  remove: async (request) =>
    accepted(await actors.get(request.client).client.removeChannel(roomOf(request).channel)),
  topics: ({ client }) => actors.get(client).client.getChannels().map((one) => one.topic),
}

function memory() {
  const kept = new Map()
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    const request = JSON.parse(line)
    answer = { ok: (await operations[request.op](request)) ?? null }
  } catch (error) {
    answer = { raised: `${error?.name}: ${error?.message}` }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit(0)
