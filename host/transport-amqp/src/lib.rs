//! RabbitMQ over AMQP 0-9-1; the only crate that names lapin
