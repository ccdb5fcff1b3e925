//! Feature-resolved attention: everything adds up, and every fast form equals a slow one.

mod identity;
mod nulls;
mod output;
mod published;
mod statistics;
mod subjects;
