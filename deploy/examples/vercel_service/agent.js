/**
 * A support agent on the Vercel AI SDK that answers questions about orders.
 *
 * Its model is the SDK's own mock, so it needs no key and no network; everything else is as in
 * production. `--stuck N` makes the order system answer "try again" for one order, and the model,
 * which believes it, ask for that order N times in one run: a runaway loop.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generateText, stepCountIs, tool } from 'ai';
import { MockLanguageModelV3 } from 'ai/test';
import { z } from 'zod';

const TRY_AGAIN = 'status unknown, try again';
/** What each call of the model uses; the numbers include what was cached and what was thought. */
const USAGE = {
  inputTokens: { total: 120, noCache: 100, cacheRead: 20, cacheWrite: 0 },
  outputTokens: { total: 30, text: 20, reasoning: 10 },
};

/** The model: look the order up, and while the answer is "try again", do just that. */
const model = new MockLanguageModelV3({
  provider: 'openai.responses',
  modelId: 'gpt-5-mini',
  doGenerate: async ({ prompt }) => {
    const question = prompt.find((message) => message.role === 'user').content[0].text;
    const order = question.match(/[A-Z]-\d+/)?.[0];
    const answer = prompt.findLast((message) => message.role === 'tool')?.content[0].output.value;
    const asks = order !== undefined && (answer === undefined || answer.endsWith(TRY_AGAIN));
    return {
      content: [
        asks
          ? {
              type: 'tool-call',
              toolCallId: `call-${prompt.length}`,
              toolName: 'lookup_order',
              input: JSON.stringify({ order_id: order }),
            }
          : { type: 'text', text: answer ?? 'Which order is it?' },
      ],
      finishReason: { unified: asks ? 'tool-calls' : 'stop', raw: undefined },
      usage: USAGE,
      response: { modelId: 'gpt-5-mini-2025-08-07' },
      warnings: [],
    };
  },
});

/** The order system behind the tool; `stuck` calls in a row fail to find out about S-13. */
function lookupOrder(stuck, delayMs) {
  let left = stuck;
  return tool({
    description: 'Where an order is',
    inputSchema: z.object({ order_id: z.string() }),
    execute: async ({ order_id }) => {
      await sleep(delayMs);
      if (order_id === 'S-13' && left > 1) {
        left -= 1;
        return `order ${order_id}: ${TRY_AGAIN}`;
      }
      return `order ${order_id} left the warehouse`;
    },
  });
}

/** Answer questions one after another; the stuck one comes last. */
async function serve({ questions, every, stuck, delay }) {
  const tools = { lookup_order: lookupOrder(stuck, delay * 1_000) };
  const orders = Array.from({ length: questions }, (_, number) => `A-${number + 1}`);
  for (const order of stuck > 0 ? [...orders, 'S-13'] : orders) {
    const { text, steps } = await generateText({
      model,
      tools,
      stopWhen: stepCountIs(1_000),
      prompt: `Where is order ${order}?`,
      experimental_telemetry: {
        isEnabled: true,
        functionId: 'ai-agent-main',
        recordInputs: true,
        recordOutputs: true,
      },
    });
    console.log(`${order}: ${text} (${steps.length - 1} lookups)`);
    await sleep(every * 1_000);
  }
}

/** What both entry points read from the command line; wrong numbers end the process. */
export function readOptions() {
  const { values } = parseArgs({
    options: {
      bootstrap: { type: 'string', default: process.env.KAFKA_BOOTSTRAP ?? 'localhost:9092' },
      topic: { type: 'string', default: process.env.SPANS_TOPIC ?? 'tocsin.spans.v1' },
      service: { type: 'string', default: 'ai-agent' },
      questions: { type: 'string', default: '5' }, // healthy runs first
      every: { type: 'string', default: '0.5' }, // seconds between two runs
      stuck: { type: 'string', default: '0' }, // identical lookups of the last run
      delay: { type: 'string', default: '0.2' }, // seconds one lookup takes
      content: { type: 'boolean', default: false }, // send prompts and answers, too
    },
  });
  const numbers = ['questions', 'every', 'stuck', 'delay'].map((name) => {
    const number = Number(values[name]);
    if (!(number >= 0)) {
      console.error(`--${name} takes a number of 0 or more, not "${values[name]}"`);
      process.exit(2);
    }
    return [name, number];
  });
  return { ...values, ...Object.fromEntries(numbers) };
}

/** The settings of the exporter, and what a span says of the service it is from. */
export function exporterOptions({ bootstrap, topic, service, content }) {
  return {
    bootstrap,
    topic,
    content,
    key: process.env.FINGERPRINT_KEY ?? 'example',
    resource: {
      'service.name': service,
      'service.version': '1.4.0',
      'deployment.environment.name': 'prod',
    },
  };
}

/** Connect, serve, and flush what is left, whatever happened. */
export async function main(options, exporter, shutdown) {
  try {
    await exporter.connect();
  } catch (error) {
    console.error(`no broker at ${options.bootstrap}: ${error.message}`);
    process.exit(2);
  }
  try {
    await serve(options);
  } finally {
    await shutdown();
  }
}
