/** The agent with Sentry: Sentry sees what it always saw, and the same spans go to Kafka. */
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';
import * as Sentry from '@sentry/node';
import { exporterOptions, main, readOptions } from './agent.js';
import { KafkaSpanExporter } from './kafka_exporter.js';

const options = readOptions();
const exporter = new KafkaSpanExporter(exporterOptions(options));
const seen = { transactions: 0 };
Sentry.init({
  dsn: 'https://public@sentry.invalid/1', // yours
  environment: 'prod',
  tracesSampleRate: 1,
  integrations: [Sentry.vercelAIIntegration({ force: true })],
  // The one line for Kafka.
  openTelemetrySpanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 200 })],
  // The example needs no network: leave these two out.
  transport: (made) => Sentry.createTransport(made, async () => ({ statusCode: 200 })),
  beforeSendTransaction: (event) => {
    seen.transactions += 1;
    return event;
  },
});
await main(options, exporter, () => Sentry.close(5_000));
console.log(`Sentry was given ${seen.transactions} transactions`);
