//! The paged KV cache: pages shared by the samples of a prompt, counted, and reused when the last owner leaves.

use crate::kernels::{Backend, CacheSlot, CachedSequence, HeadLayout, PAGE};

/// Keys and values of every layer in pages of [`PAGE`] tokens.
pub struct KvCache<B: Backend> {
    backend: B,
    layout: HeadLayout,
    keys: Vec<B::Buf>,
    values: Vec<B::Buf>,
    /// Owners of each page; 0 is free.
    owners: Vec<u32>,
    free: Vec<u32>,
}

/// A sequence's part of the cache.
#[derive(Debug, Default)]
pub struct Pages {
    pages: Vec<u32>,
    len: usize,
}

impl Pages {
    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }
    /// What the attention kernel reads.
    pub fn view(&self) -> CachedSequence<'_> {
        CachedSequence { pages: &self.pages, len: self.len }
    }
}

impl<B: Backend> KvCache<B> {
    /// An empty cache; memory is taken as sequences come.
    pub fn new(backend: B, layout: HeadLayout, layers: usize) -> Self {
        let [keys, values] = [(); 2].map(|()| (0..layers).map(|_| backend.zeros(0)).collect());
        Self { backend, layout, keys, values, owners: Vec::new(), free: Vec::new() }
    }

    fn take_page(&mut self) -> u32 {
        let page = self.free.pop().unwrap_or_else(|| {
            let pages = (2 * self.owners.len()).max(32);
            let len = self.backend.cache_len(self.layout, pages);
            for pool in self.keys.iter_mut().chain(&mut self.values) {
                self.backend.cache_grow(pool, len);
            }
            self.free.extend((self.owners.len() as u32..pages as u32).rev());
            self.owners.resize(pages, 0);
            self.free.pop().expect("pages were just added")
        });
        self.owners[page as usize] = 1;
        page
    }

    /// Makes room for `tokens` more; returns the page and the place in it of each.
    pub fn extend(&mut self, sequence: &mut Pages, tokens: usize) -> Vec<(u32, usize)> {
        (0..tokens)
            .map(|_| {
                if sequence.len.is_multiple_of(PAGE) {
                    sequence.pages.push(self.take_page());
                }
                let place = (sequence.pages[sequence.len / PAGE], sequence.len % PAGE);
                sequence.len += 1;
                place
            })
            .collect()
    }

    /// A second sequence with the same tokens: full pages are shared, a partly filled one is copied, since both will write to it.
    pub fn fork(&mut self, sequence: &Pages) -> Pages {
        let full = sequence.len / PAGE;
        let mut pages = sequence.pages[..full].to_vec();
        for page in &pages {
            self.owners[*page as usize] += 1;
        }
        if !sequence.len.is_multiple_of(PAGE) {
            let copy = self.take_page();
            for pool in self.keys.iter_mut().chain(&mut self.values) {
                self.backend.cache_copy_page(self.layout, sequence.pages[full], copy, pool);
            }
            pages.push(copy);
        }
        Pages { pages, len: sequence.len }
    }

    /// Gives a sequence's pages back.
    pub fn release(&mut self, sequence: Pages) {
        for page in sequence.pages {
            let owners = &mut self.owners[page as usize];
            *owners -= 1;
            if *owners == 0 {
                self.free.push(page);
            }
        }
    }

    /// Writes rows of a layer's fused projection.
    pub fn write(&mut self, layer: usize, qkv: &B::Buf, slots: &[CacheSlot]) {
        self.backend.cache_write(self.layout, qkv, slots, &mut self.keys[layer], &mut self.values[layer]);
    }

    /// Attention of each sequence's newest token in a layer.
    pub fn attend(&self, layer: usize, window: Option<usize>, qkv: &B::Buf, sequences: &[CachedSequence<'_>], out: &mut B::Buf) {
        self.backend.cache_attention(self.layout, window, qkv, sequences, &self.keys[layer], &self.values[layer], out);
    }

    /// Pages that are in use.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.owners.iter().filter(|o| **o > 0).count()
    }
}
