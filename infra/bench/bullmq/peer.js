// A peer for services/tasklog/bench: given the URL of a Redis, it takes orders as lines of JSON and answers
// each by one, when it is done: see side in that package. It uses BullMQ with its defaults.
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, Worker } from 'bullmq'
import express from 'express'

const url = new URL(process.argv[2])
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null }

const payload = { data: 'x'.repeat(89) } // 100 bytes of JSON
const now = () => performance.timeOrigin + performance.now()

let queue, worker
let begun = 0
let finished = 0
const lates = []
const waits = [] // who waits for begun or finished

const asked = () => (queue ??= new Queue('default', { connection }))

function awake() {
  for (let i = waits.length - 1; i >= 0; i--) if (waits[i].enough()) waits.splice(i, 1)[0].done()
}

async function until(enough) {
  if (!enough()) await new Promise((done) => waits.push({ enough, done }))
  return {}
}

const does = {
  async enqueue({ load }) {
    let next = 0
    const caller = async () => {
      while (next++ < load.n) await asked().add('noop', payload)
    }
    await Promise.all(Array.from({ length: load.callers }, caller))
    return {}
  },

  async bulk({ n }) {
    const job = { name: 'noop', data: payload }
    for (; n > 0; n -= 1000) await asked().addBulk(Array(Math.min(n, 1000)).fill(job))
    return {}
  },

  async pace({ pace }) {
    const all = []
    const began = now()
    for (let i = 0; i < pace.n; i++) {
      const wait = began + (i * 1000) / pace.perSec - now()
      if (wait > 0) await sleep(wait)
      const delay = pace.toMs > pace.fromMs ? pace.fromMs + ((i * 7919) % (pace.toMs - pace.fromMs)) : 0
      const job = { due: now() + delay, data: 'x'.repeat(65) }
      all.push(asked().add('stamped', job, delay ? { delay } : {}))
    }
    await Promise.all(all)
    return {}
  },

  async work({ n }) {
    const handler = async (job) => {
      if (job.name === 'stamped') lates.push(now() - job.data.due)
      begun++
      awake()
    }
    worker = new Worker('default', handler, { connection, concurrency: n })
    worker.on('completed', () => {
      finished++
      awake()
    })
    await worker.waitUntilReady()
    return {}
  },

  begun: ({ n }) => until(() => begun >= n),
  finished: ({ n }) => until(() => finished >= n),
  late: async () => ({ late: lates }),

  async serve() {
    const app = express()
    app.use(express.json())
    app.post('/api/tasks', async (req, res) => {
      const job = await asked().add(req.body.taskName, req.body.payload)
      res.status(202).json({ id: job.id })
    })
    const server = await new Promise((done, fail) => {
      const s = app.listen(0, '127.0.0.1', (err) => (err ? fail(err) : done(s)))
    })
    return { url: `http://127.0.0.1:${server.address().port}/api/tasks` }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    const order = JSON.parse(line)
    answer = does[order.do] ? await does[order.do](order) : { none: true }
  } catch (err) {
    answer = { error: String(err) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
await Promise.allSettled([worker?.close(true), queue?.close()])
process.exit() // the HTTP server, too
