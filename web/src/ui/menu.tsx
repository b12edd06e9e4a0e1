import { Dropdown, DropdownItem, DropdownList, MenuToggle } from '@patternfly/react-core';
import { EllipsisVIcon } from '@patternfly/react-icons/dist/esm/icons/ellipsis-v-icon';
import { useRef, useState, type ReactNode, type RefObject } from 'react';

export type Item = { label: string; onClick: () => void; danger?: boolean; off?: boolean; why?: string } | false | undefined | null | '';

/**
 * Menu is a button with what can be done. Items that are not there are left out;
 * without any, so is the button. Only the button is in the page before its first
 * use: each row of a list has one.
 */
export function Menu({ label, items, toggle, variant }: { label: string; items: Item[]; toggle?: ReactNode; variant?: 'plain' | 'secondary' | 'primary' | 'plainText' | 'default' }) {
  const [open, setOpen] = useState<boolean>();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const there = items.filter((x) => !!x);
  if (there.length === 0) return null;
  return (
    <>
      <MenuToggle ref={button} variant={variant ?? (toggle ? 'secondary' : 'plain')} aria-label={toggle ? undefined : label} onClick={() => setOpen(!open)} isExpanded={open === true} icon={toggle ? undefined : <EllipsisVIcon />}>
        {toggle}
      </MenuToggle>
      {open !== undefined && (
        <Dropdown
          ref={list}
          isOpen={open}
          onOpenChange={setOpen}
          onToggleKeydown={(e) => {
            if (!open || (e.key !== 'ArrowDown' && e.key !== 'ArrowUp')) return;
            e.preventDefault();
            focusItem(list, e.key === 'ArrowDown' ? 0 : -1, 60);
          }}
          popperProps={{ position: 'right' }}
          toggle={{ toggleNode: null, toggleRef: button }}
        >
          <DropdownList aria-label={label}>
            {there.map((x) => (
              <DropdownItem
                key={x.label}
                isDanger={x.danger}
                isAriaDisabled={x.off}
                description={x.off ? x.why : undefined}
                onClick={() => {
                  setOpen(false);
                  x.onClick();
                }}
              >
                {x.label}
              </DropdownItem>
            ))}
          </DropdownList>
        </Dropdown>
      )}
    </>
  );
}

/** focusItem goes to an item of a menu; the menu is drawn a few frames after it was opened. */
function focusItem(list: RefObject<HTMLDivElement | null>, at: number, frames: number) {
  const item = [...(list.current?.querySelectorAll<HTMLElement>('li button:not(:disabled)') ?? [])].at(at);
  item?.focus();
  if ((!item || document.activeElement !== item) && frames > 0) requestAnimationFrame(() => focusItem(list, at, frames - 1));
}
