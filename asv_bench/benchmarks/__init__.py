"""asv benchmarks of PhantomDB's public interface."""
