//! Files of autoencoders as the Python libraries wrote them, and as they must not be.

mod golden;
mod hostile;
mod python;
