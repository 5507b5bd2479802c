//! Supervisor, worker and saver: the processes behind the queue.
