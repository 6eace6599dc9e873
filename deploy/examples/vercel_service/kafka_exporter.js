/**
 * An OpenTelemetry SpanExporter that writes OTLP to Kafka: one message a trace and batch.
 *
 * The value is an ExportTraceServiceRequest (protobuf), the key the trace id in hex, so all spans
 * of a run land on one partition. This is what the OpenTelemetry Collector's Kafka exporter does
 * with `partition_traces_by_id: true`, for services that run without a collector.
 */
import { createHmac } from 'node:crypto';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { Kafka, Partitioners, logLevel } from 'kafkajs';

const SUCCESS = 0; // ExportResultCode of @opentelemetry/core
const FAILED = 1;

/** Replaced by a keyed hash: Tocsin needs to know that two calls were equal, not what was said. */
const FINGERPRINTED = new Set([
  'ai.toolCall.args',
  'ai.toolCall.result',
  'gen_ai.tool.call.arguments', // the names in version 7 of the SDK
  'gen_ai.tool.call.result',
  'gen_ai.tool.input', // Sentry's names
  'gen_ai.tool.output',
]);
/**
 * All else that may leave the process. A list of what to keep, not of what to drop: what a later
 * version of the SDK adds stays here until somebody has looked at it.
 */
const KEPT = new Set([
  'ai.model.id',
  'ai.model.provider',
  'ai.operationId',
  'ai.response.finishReason',
  'ai.response.model',
  'ai.response.msToFirstChunk',
  'ai.telemetry.functionId',
  'ai.toolCall.id',
  'ai.toolCall.name',
  'error.type',
  'gen_ai.agent.name',
  'gen_ai.function_id',
  'gen_ai.operation.name',
  'gen_ai.provider.name',
  'gen_ai.request.model',
  'gen_ai.response.finish_reasons',
  'gen_ai.response.model',
  'gen_ai.system',
  'gen_ai.tool.call.id',
  'gen_ai.tool.name',
  'sentry.op',
]);
const KEPT_PREFIXES = ['ai.usage.', 'gen_ai.usage.'];

/** Sends the spans of agents to a Kafka topic, without their content. */
export class KafkaSpanExporter {
  #producer;
  #topic;
  #key;
  #content;
  #resource;
  #merged = new WeakMap(); // a resource object a message: spans are grouped by its identity
  #connected;
  #sending = new Set();

  /**
   * @param {object} options
   * @param {string} options.bootstrap host:port of the brokers, comma-separated
   * @param {string} options.topic
   * @param {string} options.key secret of the fingerprints; the same in all instances of a service
   * @param {object} [options.resource] attributes that win over those of the tracer provider
   * @param {boolean} [options.content] true sends prompts, answers and tool content as they are
   */
  constructor({ bootstrap, topic, key, resource = {}, content = false }) {
    const kafka = new Kafka({
      clientId: 'spans',
      brokers: bootstrap.split(','),
      connectionTimeout: 3_000,
      retry: { retries: 2 },
      logLevel: logLevel.NOTHING, // a failure is given to the SDK, which says it once
    });
    this.#producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    this.#topic = topic;
    this.#key = key;
    this.#content = content;
    this.#resource = resourceFromAttributes(resource);
  }

  /** Connects now rather than with the first batch, so that a wrong address is known at once. */
  connect() {
    this.#connected ??= this.#producer.connect().catch((error) => {
      this.#connected = undefined; // the next batch tries again
      throw error;
    });
    return this.#connected;
  }

  /** A broker that is away costs the spans of this batch, never the service. */
  export(spans, done) {
    const sent = this.#send(spans).then(
      () => done({ code: SUCCESS }),
      (error) => done({ code: FAILED, error }),
    );
    this.#sending.add(sent);
    sent.finally(() => this.#sending.delete(sent));
  }

  async forceFlush() {
    await Promise.all(this.#sending);
  }

  async shutdown() {
    await this.forceFlush();
    await this.#producer.disconnect();
  }

  async #send(spans) {
    const traces = new Map();
    for (const span of spans.filter(isAgentSpan)) {
      const id = span.spanContext().traceId;
      traces.set(id, [...(traces.get(id) ?? []), this.#prepared(span)]);
    }
    if (traces.size === 0) return;
    const messages = [...traces].map(([id, group]) => ({
      key: id,
      value: Buffer.from(ProtobufTraceSerializer.serializeRequest(group)),
    }));
    await this.connect();
    await this.#producer.send({ topic: this.#topic, messages });
  }

  /** The span as it may leave. Never the span itself: other processors read it, too. */
  #prepared(span) {
    const shown = { resource: { value: this.#named(span.resource) } };
    if (!this.#content) {
      shown.attributes = { value: this.#withoutContent(span.attributes) };
      shown.events = { value: span.events.map(withoutText) };
      // The text of an exception may quote what was said.
      shown.status = { value: { code: span.status.code } };
    }
    return Object.create(span, shown);
  }

  #named(resource) {
    if (!this.#merged.has(resource)) {
      this.#merged.set(resource, resource.merge(this.#resource));
    }
    return this.#merged.get(resource);
  }

  #withoutContent(attributes) {
    const kept = {};
    for (const [name, value] of Object.entries(attributes)) {
      if (FINGERPRINTED.has(name)) kept[name] = this.#fingerprint(value);
      else if (mayLeave(name)) kept[name] = value;
    }
    return kept;
  }

  #fingerprint(value) {
    const said = typeof value === 'string' ? value : JSON.stringify(value);
    return createHmac('sha256', this.#key).update(said).digest('hex').slice(0, 16);
  }
}

/** HTTP and database spans of the same service stay with whoever reads those. */
function isAgentSpan(span) {
  return Object.keys(span.attributes).some((n) => n.startsWith('ai.') || n.startsWith('gen_ai.'));
}

function mayLeave(name) {
  return KEPT.has(name) || KEPT_PREFIXES.some((prefix) => name.startsWith(prefix));
}

function withoutText(event) {
  const type = event.attributes?.['exception.type'];
  return { ...event, attributes: type === undefined ? {} : { 'exception.type': type } };
}
